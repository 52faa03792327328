"""An HTTP/1.1 server on asyncio: limits, timeouts, streaming bodies; knows nothing of S3."""
