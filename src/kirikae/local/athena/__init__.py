"""Amazon Athena for what the logs room writes: tables over objects of S3, views, and SELECT.

The catalog is Glue's, the data S3's, and DuckDB answers in a child process.  It only ever reads,
and is no proof of anything: ``kirikae logs verify`` counts with code of its own.
"""
