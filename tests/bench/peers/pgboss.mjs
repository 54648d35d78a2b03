// pg-boss with nodemailer: N messages wait; four fetchers take 200 at a time, send these over the one pool, and complete them in one statement.
import pg from 'pg';
import PgBoss from 'pg-boss';
import { message, pool } from './mail.mjs';

const total = Number(process.env.N);
const fetchers = 4, batchSize = 200;

const boss = new PgBoss({ connectionString: process.env.DSN, max: 20 });
boss.on('error', error => console.error(error));
await boss.start();
const queue = `send-${Date.now()}`; // another in each run: what is done stays in the old one
await boss.createQueue(queue);
for (let i = 0; i < total; i += 1000) {
  const count = Math.min(1000, total - i);
  await boss.insert(Array.from({ length: count }, (_, k) => ({ name: queue, data: message(i + k) })));
}
const database = new pg.Client({ connectionString: process.env.DSN });
await database.connect();
await database.query('vacuum analyze pgboss.job'); // as every other queue is measured
await database.query('checkpoint');

const transport = pool();
let done = 0;
const work = async () => {
  while (done < total) {
    const jobs = await boss.fetch(queue, { batchSize });
    if (!jobs.length) {
      await new Promise(resolve => setTimeout(resolve, 20)); // the others have the rest
      continue;
    }
    await Promise.all(jobs.map(job => transport.sendMail(job.data)));
    await boss.complete(queue, jobs.map(job => job.id));
    done += jobs.length;
  }
};
const started = performance.now();
await Promise.all(Array.from({ length: fetchers }, work));
console.log(JSON.stringify({ per_second: Math.round(total / ((performance.now() - started) / 1000)) }));
process.exit(0);
