"""Says what a WSGI server (gunicorn) reads."""

from reading import say


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    read = say(environ["REQUEST_METHOD"], environ["RAW_URI"], environ.get("HTTP_HOST"), body)
    start_response("200 OK", [("x-read", read), ("Content-Length", "0")])
    return []
