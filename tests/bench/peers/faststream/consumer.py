"""A plain consumer with FastStream, as it is written for one system: no mapping, no retries, no correlation beyond
memory. With --database it keeps a naive ledger: one insert before the call, one update at completion."""

import argparse
import asyncio
import json
import logging
import signal
import uuid

import aiohttp
import asyncpg
from aiohttp import web
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

PREFETCH = 500
AT_ONCE = 64
JSON = {"content-type": "application/json"}

parser = argparse.ArgumentParser()
for name in ["amqp", "queue", "exchange", "target", "port"]:
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--database")
options = parser.parse_args()

# Without this a line is logged for each message, which costs half of the rate.
log = logging.getLogger("consumer")
log.setLevel(logging.WARNING)
broker = RabbitBroker(options.amqp, default_channel=Channel(prefetch_count=PREFETCH), logger=log)
app = FastStream(broker)
queue = RabbitQueue(options.queue, declare=False)
events = RabbitExchange(options.exchange, type=ExchangeType.TOPIC, declare=False)
waiting: dict[str, asyncio.Future] = {}
parts: dict = {}


def event_of(word: str, ticket: str, council: str, job: str) -> bytes:
    data = {"ticket": ticket, "council": council, "system": "json", "job": job, "disposition": "completed",
            "say": "The work has been done."}
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/faststream",
             "type": f"uk.dovetail.ticket.{word}.v1", "time": "2026-11-23T10:00:00Z",
             "datacontenttype": "application/json", "subject": ticket, "data": data}
    return json.dumps(event).encode()


async def publish(word: str, ticket: str, council: str, job: str) -> None:
    await broker.publish(
        event_of(word, ticket, council, job),
        exchange=events,
        routing_key=f"{council}.ticket.{word}",
        persist=True,
        mandatory=True,
        content_type="application/cloudevents+json",
    )


@broker.subscriber(queue, ack_policy=AckPolicy.REJECT_ON_ERROR)
async def carry(body: bytes) -> None:
    request = json.loads(body)["data"]
    ticket, council = request["ticket"], request["council"]
    done = waiting[ticket] = asyncio.get_running_loop().create_future()
    database = parts.get("database")
    if database:
        await database.execute(
            "insert into inbox (ticket, body, state) values ($1, $2, $3)", ticket, body.decode(), "accepted"
        )
    accepted = asyncio.create_task(publish("accepted", ticket, council, ""))
    async with parts["http"].post(options.target, data=body, headers=JSON) as answer:
        answer.raise_for_status()
        job = (await answer.json())["job"]
    handed_over = asyncio.create_task(publish("handed-over", ticket, council, job))
    await done
    if database:
        await database.execute("update inbox set state = $2, job = $3 where ticket = $1", ticket, "closed", job)
    await asyncio.gather(accepted, handed_over, publish("closed", ticket, council, job))


async def hear(request: web.Request) -> web.Response:
    reference = (await request.json())["reference"]
    done = waiting.pop(reference, None)
    if done is None:
        return web.Response(status=404)
    done.set_result(None)
    return web.Response(status=200)


async def main() -> None:
    if options.database:
        parts["database"] = await asyncpg.create_pool(options.database, min_size=8, max_size=8)
        await parts["database"].execute(
            "create table if not exists inbox (ticket text primary key, body text, state text, job text)"
        )
    parts["http"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))
    doors = web.Application()
    doors.router.add_post("/callbacks/json", hear)
    runner = web.AppRunner(doors, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(options.port)).start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
    await app.run()


asyncio.run(main())
