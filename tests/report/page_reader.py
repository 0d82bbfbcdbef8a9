"""Reads a page strictly, and holds it to what every page of a report keeps."""

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "input", "br", "link", "img"}
LOADS = {"src", "srcset", "data", "poster", "action", "background"}


class Reader(HTMLParser):
    """Every element is closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words, self.ids, self.scripts = [], [], [], [], {}
        self.headings, self.rows, self.captions = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append([tag, ""])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append(["", attributes.get("class", "")])
        elif tag == "figcaption":
            self.captions.append("")
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag == "script":
            self.scripts[attributes.get("id", "code")] = data
        elif tag != "style":
            self.words.append(data)
        within = {name for name, _ in self.open}
        if within & {"h1", "h2", "h3", "h4"}:
            self.headings[-1][1] += data
        if within & {"td", "th"}:
            self.rows[-1][-1][0] += data
        if "figcaption" in within:
            self.captions[-1] += data


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    reader.text = " ".join(" ".join(reader.words).split())
    return reader


def check_loads_nothing(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\((?!#)|@import|fetch\(|XMLHttpRequest|WebSocket", text)
    page = read(path)
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not LOADS & attributes.keys()
        href = attributes.get("href", "#")
        assert not re.match(r"[a-z]+:|/", href) or href.startswith("data:image/png;base64,"), href
        assert tag != "image" or href.startswith("data:")
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def check_links(path):
    page = read(path)
    assert len(page.ids) == len(set(page.ids))
    for tag, attributes in page.elements:
        href = attributes.get("href", "")
        if href.startswith("#"):
            assert href[1:] in page.ids
        elif tag == "a":
            assert (path.parent / href).is_file(), href
    for name in re.findall(r"url\(#([^)]*)\)", path.read_text(encoding="utf-8")):
        assert name in page.ids


def check_accessible(path):
    """Headings by level, each figure with a text alternative of its own and a caption, tables with heads."""
    page = read(path)
    levels = [int(tag[1]) for tag, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(text.strip() for _, text in page.headings)
    drawn = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert all(attributes["role"] == "img" for attributes in drawn)
    told = [attributes["aria-label"] for attributes in drawn]
    assert all(len(text) > 30 for text in told)
    assert len(set(told)) == len(told)
    assert len(page.captions) == [tag for tag, _ in page.elements].count("figure") == len(drawn)
    assert all(text.strip() for text in page.captions)
    for tag, attributes in page.elements:
        assert tag != "th" or attributes.get("scope") in ("row", "col")
        assert tag != "button" or attributes.get("type") == "button"
