"""Templates, into which every word of a file goes escaped."""

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dcgan_lightning.errors import printable

LONGEST = 250_000  # characters of anything that is shown


def render(template: str, **content: Any) -> str:
    """A page: HTML without anything that is loaded from elsewhere.

    Args:
        template: its name in ``templates/``.
        content: for the template; plain words are escaped, only ``Markup`` is taken as it is.
    """
    environment = Environment(
        loader=PackageLoader("dcgan_lightning.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = (Markup(environment.loader.get_source(environment, name)[0]) for name in ("style.css", "slider.js"))  # type: ignore[union-attr]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(style=style, script=script, script_sha256=digest, **content)


def _shown(value: Any) -> Any:
    """Nothing that steers a terminal or a browser, and nothing without end."""
    return value if isinstance(value, Markup) else printable(str(value)[:LONGEST])
