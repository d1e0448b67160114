"""Every call to AWS, as thin typed functions; the only room that imports botocore."""
