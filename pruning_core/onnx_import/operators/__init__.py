"""The operators by family; importing them fills the table."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):  # a file added to this folder is part of the table without further ado
    import_module(f"{__name__}.{_module.name}")
