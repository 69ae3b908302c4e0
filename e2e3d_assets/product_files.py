"""The files of products over HTTP, beside the Dagster UI: links in the UI's metadata lead here.

What belongs here: which address means which file, and lists of what there is. An address outlives signed links, works
with a folder as with a bucket that no browser can reach, and needs no login beyond the one before the UI.
What does not: storing, and the server itself (see :mod:`~e2e3d_assets.serving`).
"""

import mimetypes
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from .storage.artifacts import Artifact
from .storage.errors import Refused, StoreError
from .storage.store import ArtifactStore

LATEST = "latest"

_TYPES = {".glb": "model/gltf-binary", ".usdz": "model/vnd.usdz+zip", ".md": "text/markdown", ".obj": "model/obj"}
_SHOWN = ("text/", "image/", "application/json")
_UNCHANGING = "private, max-age=31536000, immutable"
# Pages are made from what people uploaded: their scripts run, but not as scripts of the UI beside them.
_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads allow-modals allow-popups",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; padding: 0 1rem; color: #1b1b1f }}
table {{ border-collapse: collapse; width: 100% }} td {{ border-top: 1px solid #ddd; padding: .3rem 0 }}
td + td {{ text-align: right; color: #555; white-space: nowrap }} a {{ color: #2b50c8; text-decoration: none }}
</style><h1>{title}</h1><p>{note}</p><table>{rows}</table></html>"""


def mount(path: str, store: ArtifactStore) -> Mount:
    """The routes below a path: lists of image sets, products and files, and the files themselves."""
    pages = _Pages(path, store)
    return Mount(
        path,
        routes=[
            Route("/", pages.image_sets),
            Route("/{image_set}/", pages.products),
            Route("/{image_set}/{asset}/{revision}/", pages.files),
            Route("/{image_set}/{asset}/{revision}/{path:path}", pages.file),
        ],
    )


class _Pages:
    """Each method answers one kind of request, in a thread of its own."""

    def __init__(self, base: str, store: ArtifactStore) -> None:
        self._base, self._store = base, store

    def image_sets(self, request: Request) -> Response:
        """All image sets."""
        names = _answered(self._store.image_sets)
        return self._list("Image sets", "With products.", ((name, [name, ""], "") for name in names))

    def products(self, request: Request) -> Response:
        """The latest product of each asset of an image set, with its files."""
        image_set = request.path_params["image_set"]
        rows = []
        for asset in _answered(lambda: self._store.assets(image_set)):
            product = _answered(lambda asset=asset: self._store.latest(image_set, asset))
            if product is not None:
                rows.append((asset, [image_set, asset, LATEST, ""], f"{len(product.files)} files, {_mb(product.size)}"))
        if not rows:
            raise HTTPException(404, f"There are no products of {image_set}.")
        return self._list(image_set, "The latest products.", rows)

    def files(self, request: Request) -> Response:
        """All files of one product."""
        image_set, asset, revision = (request.path_params[name] for name in ("image_set", "asset", "revision"))
        product = self._product(image_set, asset, revision)
        note = f"Revision {product.revision}, {len(product.files)} files, {_mb(product.size)}."
        rows = ((file.path, [image_set, asset, revision, file.path], _mb(file.size)) for file in product.files)
        return self._list(f"{image_set}: {asset}", note, rows)

    def file(self, request: Request) -> Response:
        """One file: shown where browsers can, else saved."""
        image_set, asset, revision, path = (
            request.path_params[name] for name in ("image_set", "asset", "revision", "path")
        )
        product = self._product(image_set, asset, revision)
        entry = product.file(path)
        if entry is None:
            raise HTTPException(404, f"{asset} of {image_set} has no {path}.")
        kind = _type(path)
        name = quote(path.rpartition("/")[2])
        shown = "inline" if kind.startswith(_SHOWN) else "attachment"
        return StreamingResponse(
            _answered(lambda: self._store.stream(product, path)),
            media_type=kind,
            headers={
                **_HEADERS,
                "Content-Length": str(entry.size),
                "Content-Disposition": f"{shown}; filename*=UTF-8''{name}",
                "Cache-Control": "no-cache" if revision == LATEST else _UNCHANGING,
            },
        )

    def _product(self, image_set: str, asset: str, revision: str) -> Artifact:
        store = self._store
        found = _answered(
            lambda: store.latest(image_set, asset) if revision == LATEST else store.get(image_set, asset, revision)
        )
        if found is None:
            newest = f"{self._base}/{image_set}/{asset}/{LATEST}/"
            raise HTTPException(404, f"This revision is not kept any more. The latest one, if there is one: {newest}")
        return found

    def _list(self, title: str, note: str, rows: Iterable[tuple[str, list[str], str]]) -> Response:
        lines = (
            f'<tr><td><a href="{self._base}/{"/".join(quote(part) for part in parts)}">{escape(name)}</a></td>'
            f"<td>{escape(told)}</td></tr>"
            for name, parts, told in rows
        )
        page = _PAGE.format(title=escape(title), note=escape(note), rows="".join(lines))
        return HTMLResponse(page, headers={**_HEADERS, "Cache-Control": "no-cache"})


def _answered(ask):
    """What the store answers, or the HTTP answer that says why it does not."""
    try:
        return ask()
    except (Refused, FileNotFoundError) as error:
        raise HTTPException(404, str(error)) from error
    except StoreError as error:
        raise HTTPException(500 if error.permanent else 503, str(error)) from error


def _type(path: str) -> str:
    suffix = "." + path.rpartition(".")[2].lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
