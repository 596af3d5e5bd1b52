"""A FastAPI project of somebody else, whose package is called `app`, as in every tutorial."""
