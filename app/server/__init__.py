"""The protocols under uvicorn's `Server`, and their channels past ASGI; nothing else here knows uvicorn."""
