"""Everything that knows clients: the doors, routes, policy, errors and pages of the gateway."""

try:
    from tunnel import version
except ImportError as error:
    # An upgrade by pip installs tunnel-agent, then removes the older tunnel-gateway with the same files in it.
    raise ImportError(
        "the files of tunnel-agent are missing: an upgrade from a tunnel-gateway that contained them removed them."
        " Install the tunnel-agent of this version again, with pip install --force-reinstall --no-deps"
    ) from error

__all__ = ["__version__"]

__version__ = version.VERSION
