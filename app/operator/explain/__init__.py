"""What would become of a request for a URL, and why: `GET /-/explain`.

`question.py` reads what is asked, `outlook.py` says what is known before anything is sent, `explaining.py` sends a
probe where it may and puts the answer together, `verdicts.py` has the words, and `resource.py` is the row of the API.
"""
