"""What the page says of covariates on parameters: which, how they were made, how parameters go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carkinetics.report.parts import Block, Table

if TYPE_CHECKING:
    from carkinetics.inference import Fit


def covariate_sentence(fit: Fit) -> str:
    """Say for the methods paragraph which parameters have covariates; empty without any."""
    told = fit.settings.get("covariates")
    if not told:
        return ""
    parts = []
    for parameter, columns in told["columns"].items():
        named = ", ".join(column["name"] for column in columns)
        priors = " and ".join(dict.fromkeys(column["prior"] for column in columns))
        parts.append(f"{parameter} ({named}; prior of each coefficient {priors})")
    imputed = [
        f"{column['name']}: {', '.join(column['imputed'])}"
        for columns in told["columns"].values()
        for column in columns
        if column["imputed"]
    ]
    text = (
        f" Covariates shift, on the transformed scale, the expected value of {'; of '.join(parts)}."
        " Numbers are centered and scaled, text is compared with a reference value, and yes/no "
        f"columns are 0 and 1. The typical patient stands at {told['typical_patient']}."
    )
    if imputed:
        text += f" Without a value, and put at the mean of the others: {'; '.join(imputed)}."
    if told["left_out"]:
        text += f" Published covariates that could not be used: {', '.join(told['left_out'])}."
    return text


def covariate_blocks(fit: Fit, probability: float) -> list[Block]:
    """Show every coefficient with its interval; nothing without covariates."""
    table = fit.covariate_table(probability)
    if table.empty:
        return []
    columns = {
        (parameter, column["name"]): column
        for parameter, found in fit.settings["covariates"]["columns"].items()
        for column in found
    }
    rows = []
    for row in table.itertuples():
        column = columns[row.parameter, row.term]
        rows.append(
            (
                str(row.parameter),
                str(row.term),
                str(row.per),
                f"{column['center']:.4g}" if column["kind"] == "number" else "",
                f"{row.measure} {row.median:.3g}",
                f"{row.low:.3g} to {row.high:.3g}",
            )
        )
    note = (
        "Ratio: the typical value of the parameter is multiplied by it; odds ratio: its odds are; "
        "difference: it is added. These are associations among the fitted patients."
    )
    return [
        Table(
            "Parameters and covariates",
            ("Parameter", "Covariate", "Per", "Centered at", "Median",
             f"{probability:.0%} interval"),
            rows,
            "lllrrr",
            (note,),
        )
    ]  # fmt: skip
