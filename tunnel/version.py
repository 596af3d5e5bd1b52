"""The version of both programs. The wheel reads it from here; the charts' `appVersion` is held to it by a test."""

VERSION = "0.1.0"
