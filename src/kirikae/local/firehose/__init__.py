"""Amazon Data Firehose: records in, objects of S3 out, filed by the time at which they arrived."""
