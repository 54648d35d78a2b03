// graphile-worker at its fastest: a local queue and batched completion; N jobs with 4 KB of payload wait, and each is only acknowledged.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const connectionString = process.env.DSN;
const total = Number(process.env.N);
const text = ('x'.repeat(76) + '\r\n').repeat(53);
const message = i => ({ from: 'erp@example.com', to: `user${i}@example.net`, subject: `Statement ${i}`, text });

const utils = await makeWorkerUtils({ connectionString });
await utils.migrate();
const pool = new pg.Pool({ connectionString, max: 2 });
const insert = `select graphile_worker.add_jobs(array(
  select row('send', job, null, null, null, null, null, null)::graphile_worker.job_spec from json_array_elements($1::json) job))`;
for (let i = 0; i < total; i += 1000) {
  const batch = Array.from({ length: Math.min(1000, total - i) }, (_, k) => message(i + k));
  await pool.query(insert, [JSON.stringify(batch)]);
}
await pool.query('vacuum analyze graphile_worker._private_jobs');
await pool.query('checkpoint');

let done = 0;
const finished = new Promise(resolve => {
  globalThis.acknowledge = async () => { if (++done === total) resolve(); };
});
const started = performance.now();
await run({
  connectionString, concurrency: 32, maxPoolSize: 20, noHandleSignals: true, pollInterval: 100,
  preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  taskList: { send: () => globalThis.acknowledge() },
  logger: new Logger(() => () => {}),
});
await finished;
console.log(JSON.stringify({ per_second: Math.round(total / ((performance.now() - started) / 1000)) }));
process.exit(0);
