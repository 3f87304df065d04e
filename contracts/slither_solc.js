#!/usr/bin/env node
// The part of solc's command line that Slither uses, over solc-js of SOLC_MODULES.
'use strict';
const fs = require('fs');
const path = require('path');

const solc = require(path.join(process.env.SOLC_MODULES, 'solc'));

if (process.argv.includes('--version')) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else {
  fs.writeFileSync(1, solc.compile(fs.readFileSync(0, 'utf8')));
}
