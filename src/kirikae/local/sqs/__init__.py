"""Simple Queue Service of our own: durable, and with FIFO queues that forget no deduplication
ID."""
