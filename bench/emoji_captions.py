"""Writes the emoji of the npm package emoji-datasource-google as a folder of images with captions (name.txt).

    python bench/emoji_captions.py emoji/
    ancestral train --data emoji/ --image-size 32 --given caption --validation 0.1

The first line of a caption is the name in Unicode, the second the name and the keywords of the npm package emojilib.
"""

import argparse
import json
import subprocess
from pathlib import Path

from image_sets import EMOJI, PICTURES, read_package

KEYWORDS = EMOJI.with_name("emojilib-4.0.3.tgz")
MOST_KEYWORDS = 8


def captions(emoji: dict[str, str], keywords: dict[str, list[str]]) -> list[str]:
    """Return the captions of an emoji: its name, and its name with its keywords."""
    name = emoji["name"].lower()
    character = "".join(chr(int(code, 16)) for code in emoji["unified"].split("-"))
    further = keywords.get(character) or keywords.get(character.replace("\ufe0f", "")) or []
    words = [word.replace("_", " ") for word in further if word[:1].isalnum()]
    return list(dict.fromkeys([name, ", ".join(dict.fromkeys([name, *words[:MOST_KEYWORDS]]))]))


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for path in (EMOJI, KEYWORDS):
        if not path.is_file():
            subprocess.run(["make", str(path.relative_to(Path(__file__).parent.parent))], check=True)
    files = read_package(EMOJI, (PICTURES, "package/emoji.json"))
    keywords = json.loads(read_package(KEYWORDS, ("package/dist/",))["package/dist/emoji-en-US.json"])
    folder.mkdir(parents=True, exist_ok=True)
    for emoji in json.loads(files["package/emoji.json"]):
        path = folder / emoji["image"]
        path.write_bytes(files[PICTURES + emoji["image"]])
        path.with_suffix(".txt").write_text("\n".join(captions(emoji, keywords)) + "\n", encoding="utf-8")
    print(f"{folder}: {len(list(folder.glob('*.png'))):,} images with captions")


if __name__ == "__main__":
    main()
