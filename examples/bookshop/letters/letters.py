"""The bookshop's letters to customers: Celery workers write them, by messages of one SQS queue.

`letters.py send` is who never stops asking for one.  A worker that is killed gives its letter back,
and another one writes it: so each letter first looks whether it is written.
"""

import os
import signal
import socket
import sys
import time

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from celery import Celery
from kombu.exceptions import OperationalError

QUEUE = os.environ["QUEUE"]
HOST = QUEUE.partition("://")[2].partition("/")[0]
PAUSE_S = 0.4
THIN_S = 0.15
THICK_S = 2.0
THICK_EACH = 10

app = Celery("letters", broker=f"sqs://bookshop:bookshop@{HOST}//")
app.conf.update(
    task_default_queue="letters",
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_transport_options={
        "region": os.environ["AWS_DEFAULT_REGION"],
        "is_secure": False,
        "wait_time_seconds": 2,
        "visibility_timeout": 20,
        "predefined_queues": {
            "letters": {
                "url": QUEUE,
                "access_key_id": "bookshop",
                "secret_access_key": "bookshop",
            }
        },
    },
)
_database = None


def run(sql, *values):
    """Once more where the database was away."""
    global _database
    for last in (False, True):
        try:
            if _database is None or _database.closed:
                _database = psycopg2.connect(
                    host=os.environ["DATABASE_HOST"],
                    dbname="bookshop",
                    user="bookshop",
                    password=os.environ["DATABASE_PASSWORD"],
                    connect_timeout=10,
                )
                _database.autocommit = True
            with _database.cursor() as cursor:
                cursor.execute(sql, values)
            return
        except psycopg2.OperationalError:
            _database = None
            if last:
                raise


@app.task(name="letters.write", acks_late=True)
def write(number):
    """Every tenth one is a thick one."""
    host = socket.gethostname()
    run("insert into letters_begun (number, host) values (%s, %s)", number, host)
    time.sleep(THICK_S if number % THICK_EACH == 0 else THIN_S)
    run(
        "insert into letters (number, host) select %s, %s"
        " where not exists (select 1 from letters where number = %s)",
        number,
        host,
        number,
    )


def send():
    """A letter each 0.4 s until SIGTERM; what the queue did not take is sent again."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    number = 1
    while not stop:
        try:
            write.delay(number)
        except (BotoCoreError, ClientError, OperationalError, OSError) as error:
            print(f"letter {number} waits: {error}", flush=True)
            time.sleep(1)
            continue
        run("insert into letters_asked (number) values (%s)", number)
        number += 1
        time.sleep(PAUSE_S)


if __name__ == "__main__" and sys.argv[1:] == ["send"]:
    send()
