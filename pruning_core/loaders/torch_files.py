"""What a file of torch is, seen from its name and the names in its archive; nothing is opened."""

import zipfile

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


def is_torchscript(path: str) -> bool:
    """Whether the file is an archive of TorchScript."""
    return any(name.endswith("/constants.pkl") for name in members(path))


def members(path: str) -> list[str]:
    """Return the names in the archive; none where it is no archive that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return []
