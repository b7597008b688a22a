// Makes the one node a replica set, which change streams need, and waits until it takes writes. Harmless to repeat.
try {
  rs.status();
} catch (error) {
  if (error.codeName !== 'NotYetInitialized') throw error;
  rs.initiate({ _id: 'nimbus', members: [{ _id: 0, host: 'mongodb:27017' }] });
}
for (let tries = 0; !db.hello().isWritablePrimary; tries++) {
  if (tries === 300) throw new Error('mongodb did not become primary within a minute');
  sleep(200);
}
