"""A Django project in one file, with the defaults of `django-admin startproject`: a form, and a redirect after it."""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path


def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return HttpResponseRedirect(request.build_absolute_uri("/saved"))
    return HttpResponse(get_token(request), content_type="text/plain")


urlpatterns = [path("form", form)]
settings.configure(
    DEBUG=True,
    SECRET_KEY="of-the-tests",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
