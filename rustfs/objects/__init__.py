"""The object layer: placement, quorum rules, versions, multipart uploads, listings, over the Drive port alone."""
