// What the peers send and by what: messages of 4 KB by nodemailer's pool, its connections used without end.
import nodemailer from 'nodemailer';

const text = ('x'.repeat(76) + '\r\n').repeat(53);
export const message = i => ({ from: 'erp@example.com', to: `user${i}@example.net`, subject: `Statement ${i}`, text });

export const pool = () => nodemailer.createTransport({
  host: '127.0.0.1', port: Number(process.env.SMTP_PORT), ignoreTLS: true,
  pool: true, maxConnections: Number(process.env.CONNECTIONS), maxMessages: Infinity,
});
