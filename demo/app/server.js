const express = require('express');

express().get('/', (_, res) => res.send('hello\n')).listen(8080);
