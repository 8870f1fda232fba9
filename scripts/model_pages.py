"""Write the page and the figure of every model in docs/models, and their list.

Run it after a model file has changed: `python scripts/model_pages.py [NAME ...]`. The tests compare
the pages with the model files; the figure carries the hash of the text it was drawn from.
"""

from __future__ import annotations

import sys
from pathlib import Path

from carkinetics.library import list_models, load_model
from carkinetics.model.page import kind_of, model_page
from carkinetics.plotting import plot_model

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "models"


def index_page() -> str:
    """Write the list of all models."""
    rows = []
    for name in list_models():
        model = load_model(name)
        assays = ", ".join(model.observed) or "none"
        rows.append(f"| [{name}]({name}.md) | {model.title} | {kind_of(model)} | {assays} |")
    listed = "\n".join(list_models())
    return f"""# Models

Each model is one file with its equations and numbers, one page and at least one test. A page says
of every number where it comes from and how far it is to be trusted, and what data can identify the
model.

| name | what it is | solved as | assays |
|---|---|---|---|
{chr(10).join(rows)}

```{{toctree}}
:hidden:

{listed}
```
"""


def write_figure(name: str) -> Path:
    """Draw the figure of a model; its hash goes into the file."""
    model = load_model(name)
    path = FOLDER / "images" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    drawn = plot_model(model).figure
    drawn.savefig(path, dpi=140, metadata={"Description": model.text_hash, "Software": None})
    return path


def main(names: list[str]) -> None:
    """Write what belongs to the named models, or to all."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or list_models():
        page = model_page(load_model(name), f"images/{name}.png")
        (FOLDER / f"{name}.md").write_text(page, encoding="utf-8")
        write_figure(name)
    (FOLDER / "index.md").write_text(index_page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
