"""rathole, as cargo builds it: once per machine, outside the checkout, with the least of the machine's time."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.system.applications import cache_folder, locked

VERSION = "0.5.0"
FEATURES = "server,client"
"""Plain TCP, as the others here: neither TLS nor noise."""
BUILD_SECONDS = 1800


@functools.cache
def binary() -> Path | str:
    """The program, from PATH or from cargo; or why there is none."""
    if (found := shutil.which("rathole")) is not None:
        return Path(found)
    folder = cache_folder() / f"rathole-{VERSION}"
    program = folder / "bin" / "rathole"
    with locked(cache_folder() / "rathole.lock"):
        if program.exists():
            return program
        if (cargo := shutil.which("cargo")) is None:
            return "neither rathole nor cargo, which could build it, is on PATH"
        print(f"building rathole {VERSION} with cargo, once: this takes some minutes ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="rathole-build-") as target:
            # Its own lock file names a version of `time` that today's compilers refuse, so it is not used.
            build = [cargo, "install", "rathole", "--version", f"={VERSION}", "--no-default-features"]
            options = ["--features", FEATURES, "-j1", "--quiet", "--root", str(folder), "--target-dir", target]
            try:
                done = subprocess.run(
                    ["nice", "-n", "19", *build, *options],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=BUILD_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"cargo had not built it after {BUILD_SECONDS} s"
    if done.returncode != 0:
        return f"cargo could not build it: {done.stderr.strip().splitlines()[-1]}"
    return program
