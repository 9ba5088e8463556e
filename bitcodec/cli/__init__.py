"""The ``bitcodec`` command: one file a sub-command, loaded only when it runs."""
