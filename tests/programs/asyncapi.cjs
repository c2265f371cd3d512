// What AsyncAPI's own parser says of the document on stdin, one diagnostic a line; exits with 1 if it is not valid.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  for (const { severity, code, path, message } of diagnostics) {
    console.log(`${["error", "warning", "information", "hint"][severity]}: ${code} at ${path.join(".")}: ${message}`);
  }
  process.exitCode = document === undefined ? 1 : 0;
});
