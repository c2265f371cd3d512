// A stand-in for the little of the DOM that a drawing of Markdown needs, so that most of its tests need no browser.

export const work = { made: 0, walked: 0 }; // nodes that were made, and from how many one went on to the next

class Node {
  constructor(properties) {
    Object.assign(this, properties, { parentNode: null });
    work.made++;
  }

  remove() {
    const siblings = this.parentNode?.childNodes;
    if (siblings?.at(-1) === this) siblings.pop();
    else siblings?.splice(siblings.lastIndexOf(this), 1);
    this.parentNode = null;
  }

  get nextSibling() {
    work.walked++;
    const { parentNode: parent } = this, { childNodes } = parent, next = parent.asked + 1; // mostly, one after the other
    parent.asked = childNodes[next] === this ? next : childNodes.lastIndexOf(this);
    return childNodes[parent.asked + 1] ?? null;
  }

  get firstChild() {
    return this.childNodes[0] ?? null;
  }

  get lastChild() {
    return this.childNodes.at(-1) ?? null;
  }

  set textContent(text) {
    this.replaceChildren(text);
  }

  get textContent() {
    return this.data ?? this.childNodes.map((child) => child.textContent).join("");
  }

  append(...nodes) {
    for (const node of nodes) this.insertBefore(node.nodeType ? node : document.createTextNode(node), null);
  }

  appendChild(node) {
    return this.insertBefore(node, null);
  }

  insertBefore(node, place) {
    node.remove();
    const { childNodes } = this;
    if (place) childNodes.splice(childNodes.lastIndexOf(place), 0, node);
    else childNodes.push(node);
    return Object.assign(node, { parentNode: this });
  }

  replaceChildren(...nodes) {
    for (const child of [...this.childNodes]) child.remove();
    this.append(...nodes);
  }

  appendData(data) {
    this.data += data;
  }
}

globalThis.Text = class extends Node {
  constructor(data = "") {
    super({ nodeType: 3, data });
  }
};

globalThis.document = {
  createElement: (localName) => new Node({ nodeType: 1, localName, childNodes: [] }),
  createTextNode: (data) => new Node({ nodeType: 3, data }),
};
