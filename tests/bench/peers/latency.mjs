// graphile-worker with nodemailer as a worker that waits for jobs; who adds them, and who tells the time, are others. Ends at SIGTERM.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { pool } from './mail.mjs';

const connectionString = process.env.DSN;
const connections = Number(process.env.CONNECTIONS);
const utils = await makeWorkerUtils({ connectionString });
await utils.migrate();
const transport = pool();
await run({
  connectionString, concurrency: connections, maxPoolSize: 10, noHandleSignals: true, pollInterval: 1000,
  taskList: { send: payload => transport.sendMail(payload) },
  logger: new Logger(() => () => {}),
});
console.log('ready');
