"""The card that `package new` starts from, filled in as a lab would."""

from SITTranslateLib.packages.making import TEMPLATE

#: The template with what a lab would say of its model.
FILLED = (
    TEMPLATE.read_text(encoding="utf-8")
    .replace("my-translator", "lab-translator")
    .replace("What it does, in a few words", "T2w of T1w by a lab")
    .replace("Authors, title, journal, year.", "None yet.")
    .replace("What it is for, and what it is not for.", "Tests.")
    .replace("What it cannot do, one sentence each.", "Everything.")
    .replace("What it was trained on.", "Nothing.")
)
