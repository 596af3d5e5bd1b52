"""The protocol classes under uvicorn's `Server`, and their channels, which bypass ASGI. The only room with uvicorn."""
