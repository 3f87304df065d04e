// Compile a standard-JSON input from stdin with solc-js.
// argv: the solc package's name, node_modules, the output's file, more folders of imports.
'use strict';
const fs = require('fs');
const path = require('path');

const [compiler, modules, target, ...folders] = process.argv.slice(2);
const solc = require(path.join(modules, compiler));

function findImport(name) {
  for (const folder of [modules, ...folders]) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) {
      return { contents: fs.readFileSync(file, 'utf8') };
    }
  }
  return { error: `not found: ${name}` };
}

const input = fs.readFileSync(0, 'utf8');
fs.writeFileSync(target, solc.compile(input, { import: findImport }));
