/* SPDX-License-Identifier: MIT
 *
 * search.js: the manual's search. What it knows is in search-index.js, which is loaded as a script when the field is first
 * used, as a page that is opened as a file may not fetch anything. An entry is [title, address, kind, text].
 */
"use strict";

const WEIR_MOST = 20;

/* How well an entry fits one word: 0 if it does not. A name counts most when it is the word, with or without "weir_". */
function weirScore(entry, word) {
    const plain = word.toLowerCase();
    const title = entry[0].toLowerCase();

    if (entry[0] === word)
        return 1050;
    if (title === plain)
        return title.startsWith("weir") ? 1000 : 800;
    if (title === "weir_" + plain)
        return entry[0].startsWith("weir_") ? 950 : 900;
    if (title.startsWith(plain) || title.startsWith("weir_" + plain))
        return 600 - Math.min(title.length, 99);
    if (title.includes(plain))
        return 400 - Math.min(title.length, 99);
    const at = entry[3].toLowerCase().indexOf(plain);
    if (at < 0)
        return 0;
    return at === 0 || !/\w/.test(entry[3][at - 1]) ? 50 : 20;
}

/* The entries that have all words of the query, the best first. */
function weirFind(entries, query) {
    const words = query.split(/[\s(),;]+/).filter((word) => word !== "");
    const found = [];

    entries.forEach((entry, order) => {
        const scores = words.map((word) => weirScore(entry, word));
        if (scores.length > 0 && !scores.includes(0))
            found.push({ entry, order, score: scores.reduce((sum, score) => sum + score) });
    });
    found.sort((a, b) => b.score - a.score || a.order - b.order);
    return found.slice(0, WEIR_MOST).map((each) => each.entry);
}

/* Some words of an entry's text: its first, or those around the first word that its title does not have: [before, it, after]. */
function weirSnippet(entry, query) {
    const text = entry[3];
    const words = query.toLowerCase().split(/[\s(),;]+/);
    const word = words.find((each) => !entry[0].toLowerCase().includes(each) && text.toLowerCase().includes(each)) || "";
    const at = word ? text.toLowerCase().indexOf(word) : 0;
    const begin = at < 60 ? 0 : text.indexOf(" ", at - 50) + 1 || at;
    const end = at + word.length + 90;

    return [(begin > 0 ? "… " : "") + text.slice(begin, at), text.slice(at, at + word.length),
        text.slice(at + word.length, end) + (end < text.length ? " …" : "")];
}

function weirStart() {
    const field = document.getElementById("weir-search");
    const list = document.getElementById("weir-results");
    const status = document.getElementById("weir-found");
    let selected = -1;

    const part = (tag, text, kind) => {
        const element = document.createElement(tag);
        element.textContent = text;
        element.className = kind || "";
        return element;
    };
    const line = (entry, index) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        const text = part("span", "", "text");
        const around = weirSnippet(entry, field.value);

        text.append(around[0], part("mark", around[1]), around[2]);
        link.href = entry[1];
        link.tabIndex = -1;
        link.append(part("b", entry[0]), " ", part("span", entry[2], "kind"), text);
        item.id = "weir-result-" + index;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.append(link);
        return item;
    };
    const select = (index) => {
        const items = list.querySelectorAll("[role=option]");
        selected = items.length ? (index + items.length) % items.length : -1;
        items.forEach((item, each) => item.setAttribute("aria-selected", String(each === selected)));
        if (selected < 0) {
            field.removeAttribute("aria-activedescendant");
        } else {
            field.setAttribute("aria-activedescendant", items[selected].id);
            items[selected].scrollIntoView({ block: "nearest" });
        }
    };
    const show = () => {
        const query = field.value.trim();
        const found = query ? weirFind(window.weirSearchIndex || [], query) : [];
        const open = query !== "" && window.weirSearchIndex !== undefined;

        list.replaceChildren();
        found.forEach((entry, index) => list.append(line(entry, index)));
        if (open && found.length === 0)
            list.append(part("li", "Nothing has all of these words.", "none"));
        list.hidden = !open;
        field.setAttribute("aria-expanded", String(open));
        status.textContent = open ? found.length + " results" : "";
        select(found.length ? 0 : -1);
    };
    const load = () => {
        if (document.getElementById("weir-index"))
            return;
        const script = document.createElement("script");
        script.id = "weir-index";
        script.src = "search-index.js";
        script.addEventListener("load", show);
        document.head.append(script);
    };

    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", "weir-results");
    field.setAttribute("aria-expanded", "false");
    field.addEventListener("focus", load);
    field.addEventListener("input", show);
    field.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            select(selected + (event.key === "ArrowDown" ? 1 : -1));
        } else if (event.key === "Escape") {
            field.value = "";
            show();
        }
    });
    field.form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (selected >= 0)
            list.querySelectorAll("a")[selected].click();
    });
    document.addEventListener("keydown", (event) => {
        if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
            event.preventDefault();
            field.focus();
            field.select();
        }
    });
    document.addEventListener("click", (event) => {
        if (!field.form.contains(event.target) || event.target.closest("#weir-results a"))
            list.hidden = true;
    });
}

if (typeof document !== "undefined")
    weirStart();
