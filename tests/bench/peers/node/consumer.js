// A plain consumer in Node (amqplib and undici), as it is written for one system: no mapping, no retries, no
// correlation beyond memory. With --database it keeps a naive ledger: one insert before the call, one update at
// completion, one row at a time.
'use strict';

const http = require('node:http');
const { randomUUID } = require('node:crypto');
const { parseArgs } = require('node:util');
const amqp = require('amqplib');
const { Pool: HttpPool } = require('undici');
const { Pool: Database } = require('pg');

const PREFETCH = 500;
const AT_ONCE = 64;

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: { amqp: text, queue: text, exchange: text, target: text, port: text, database: text },
});

const target = new URL(options.target);
const calls = new HttpPool(target.origin, { connections: AT_ONCE, pipelining: 1 });
const database = options.database ? new Database({ connectionString: options.database, max: 8 }) : null;
const waiting = new Map();

function eventOf(word, ticket, council, job) {
  return Buffer.from(
    JSON.stringify({
      specversion: '1.0',
      id: randomUUID(),
      source: '/node',
      type: `uk.dovetail.ticket.${word}.v1`,
      time: '2026-11-23T10:00:00Z',
      datacontenttype: 'application/json',
      subject: ticket,
      data: { ticket, council, system: 'json', job, disposition: 'completed', say: 'The work has been done.' },
    }),
  );
}

function publish(channel, word, ticket, council, job) {
  return new Promise((resolve, reject) => {
    const properties = { persistent: true, mandatory: true, contentType: 'application/cloudevents+json' };
    const body = eventOf(word, ticket, council, job);
    channel.publish(options.exchange, `${council}.ticket.${word}`, body, properties, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

async function carry(inward, outward, message) {
  const { ticket, council } = JSON.parse(message.content.toString()).data;
  const done = new Promise((resolve) => waiting.set(ticket, resolve));
  if (database) {
    await database.query('insert into inbox (ticket, body, state) values ($1, $2, $3)', [
      ticket,
      message.content.toString(),
      'accepted',
    ]);
  }
  const accepted = publish(outward, 'accepted', ticket, council, '');
  const { statusCode, body } = await calls.request({
    method: 'POST',
    path: target.pathname,
    headers: { 'content-type': 'application/json' },
    body: message.content,
  });
  if (statusCode >= 300) throw new Error(`${ticket}: HTTP ${statusCode}`);
  const { job } = await body.json();
  const handedOver = publish(outward, 'handed-over', ticket, council, job);
  await done;
  if (database) await database.query('update inbox set state = $2, job = $3 where ticket = $1', [ticket, 'closed', job]);
  const closed = publish(outward, 'closed', ticket, council, job);
  await Promise.all([accepted, handedOver, closed]);
  inward.ack(message);
}

function hear(request, response) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { reference } = JSON.parse(Buffer.concat(chunks).toString());
    const done = waiting.get(reference);
    waiting.delete(reference);
    if (done) done();
    response.writeHead(done ? 200 : 404).end();
  });
}

async function main() {
  if (database) {
    await database.query('create table if not exists inbox (ticket text primary key, body text, state text, job text)');
  }
  const doors = http.createServer(hear);
  doors.keepAliveTimeout = 60000;
  await new Promise((resolve) => doors.listen(Number(options.port), '127.0.0.1', resolve));
  const connection = await amqp.connect(options.amqp);
  const inward = await connection.createChannel();
  await inward.prefetch(PREFETCH);
  const outward = await connection.createConfirmChannel();
  await inward.consume(options.queue, (message) => {
    carry(inward, outward, message).catch((error) => console.error(`a request failed: ${error.message}`));
  });
  process.on('SIGTERM', () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
