/**
 * Property tests draw the same cases every time, so that a red run speaks of the change and can be repeated. Others are
 * drawn by `npm run soak:properties`, or with a number as `NIMBUS_TEST_SEED`.
 */
import fc from 'fast-check';

const given = process.env['NIMBUS_TEST_SEED'];
const EVERY_TIME = 20_261_121;

fc.configureGlobal({
  ...fc.readConfigureGlobal(),
  seed: given === 'new' ? Math.floor(Math.random() * 2 ** 31) : Number(given ?? EVERY_TIME),
});
