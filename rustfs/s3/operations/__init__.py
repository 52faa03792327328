"""The operations of the S3 API, by what they are about."""
