"""The S3 face: signatures, routing, XML, errors, and the operations by verb."""
