"""The door of our own, under uvicorn's `Server` and without its protocol classes. The only room with uvicorn."""
