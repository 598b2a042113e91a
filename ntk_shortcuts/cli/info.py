"""`ntk-shortcuts info`: versions, devices, and where compiled programs are kept."""

from __future__ import annotations

from ntk_shortcuts.cli.options import JsonOption, takes_options
from ntk_shortcuts.cli.printing import print_json, print_table


@takes_options()
def info(output: JsonOption) -> None:
    """Versions, devices, and the cache of compiled programs: where it is, how large, how to switch it off."""
    import jax

    from ntk_shortcuts.program_cache import VARIABLE, kept_programs
    from ntk_shortcuts.version import __version__

    cache = kept_programs()
    rows = {
        "ntk_shortcuts": __version__,
        "JAX": jax.__version__,
        "devices": ", ".join(str(device) for device in jax.devices()),
        "compiled programs": "off" if cache.place is None else str(cache.place),
        "size": f"{cache.size / 2**20:.1f} of at most {cache.limit / 2**20:.0f} MiB",
        "to switch off": f"{VARIABLE}=off",
    }
    if output.json:
        print_json(rows)
    else:
        print_table(rows)
