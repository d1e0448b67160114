"""Queues through aioboto3, many calls at a time, as its documentation says."""

from __future__ import annotations

import asyncio
import sys

import aioboto3

MESSAGES = 50


async def main(name: str) -> None:
    session = aioboto3.Session()
    async with session.client("sqs") as sqs, session.client("ecs") as ecs:
        queue = (await sqs.create_queue(QueueName=name))["QueueUrl"]
        sends = [sqs.send_message(QueueUrl=queue, MessageBody=str(n)) for n in range(MESSAGES)]
        await asyncio.gather(*sends)
        found: set[str] = set()
        while len(found) < MESSAGES:
            told = await sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=5,
                AttributeNames=["ApproximateReceiveCount"],
            )
            messages = told.get("Messages", [])
            assert all(each["Attributes"]["ApproximateReceiveCount"] == "1" for each in messages)
            found |= {each["Body"] for each in messages}
            deletes = [
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
                for each in messages
            ]
            await asyncio.gather(*deletes)
            print(f"{len(found)} of {MESSAGES}", flush=True)
        try:
            await sqs.get_queue_url(QueueName=f"{name}-nowhere")
        except sqs.exceptions.QueueDoesNotExist:
            pass
        else:
            raise AssertionError("a queue that is not there was found")
        await asyncio.gather(*(ecs.create_cluster(clusterName=f"{name}-{n}") for n in range(12)))
        clusters = set[str]()
        async for page in ecs.get_paginator("list_clusters").paginate(
            PaginationConfig={"PageSize": 5}
        ):
            clusters |= {arn for arn in page["clusterArns"] if f"/{name}-" in arn}
        assert len(clusters) == 12, clusters
        await asyncio.gather(*(ecs.delete_cluster(cluster=arn) for arn in clusters))
        await sqs.delete_queue(QueueUrl=queue)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
