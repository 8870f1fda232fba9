"""Make levels.png: fit the built-in synthetic cohort and draw two of its patients.

Takes some minutes. From the folder of the project: python docs/images/make_levels.py
"""

from pathlib import Path

import carkinetics as ck


def main() -> None:
    """Fit, draw and save next to this file."""
    fit = ck.fit(ck.load_model("cd4_cd8_expansion"), ck.synthetic_cohort(), seed=2026)
    picture = ck.plot_levels(fit, patients=["VA01", "VA06"])
    print(picture.save(Path(__file__).with_name("levels.png")))


if __name__ == "__main__":
    main()
