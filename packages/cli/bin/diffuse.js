#!/usr/bin/env node
// Stands here, and not in dist/, so that package managers can link the command before the first build.
import '../dist/main.js';
