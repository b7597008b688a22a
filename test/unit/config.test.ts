import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig, variables } from '../../src/config.js';

describe('the configuration', () => {
  it('has a default for everything that can have one', () => {
    expect(readConfig({})).toMatchObject({
      api: { host: '127.0.0.1', port: 8000, key: null },
      role: 'all',
    });
  });

  it('names every bad value at once', () => {
    const bad = {
      NIMBUS_API_PORT: 'x',
      NIMBUS_STALE_JOB_SECONDS: '4',
      NIMBUS_PROVIDER_LIMITS: 'copernicus',
      NIMBUS_DB_BACKEND: 'redis',
    };
    expect(() => readConfig(bad)).toThrow(ConfigError);
    try {
      readConfig(bad);
    } catch (error) {
      expect((error as ConfigError).problems.map(({ variable }) => variable).sort()).toEqual(
        Object.keys(bad).sort(),
      );
    }
  });

  it.each([
    [{ NIMBUS_MAX_JOBS: 'x' }, 'NIMBUS_MAX_JOBS: Not a whole number from 1 to 64'],
    [{ NIMBUS_MAX_JOBS: '0.5' }, 'NIMBUS_MAX_JOBS: Not a whole number from 1 to 64'],
    [{ NIMBUS_MAX_JOBS: '65' }, 'NIMBUS_MAX_JOBS: Not a whole number from 1 to 64'],
    [{ NIMBUS_API_PORT: '0' }, 'NIMBUS_API_PORT: Not a whole number from 1 to 65535'],
    [{ NIMBUS_MAX_REQUEST_MB: '-1' }, 'NIMBUS_MAX_REQUEST_MB: Not a number above 0, at most 64'],
  ])('says of %j what it should be', (given, message) => {
    expect(() => readConfig(given)).toThrow(message);
  });

  it('reads provider limits and keeps the defaults of the others', () => {
    expect(
      readConfig({ NIMBUS_PROVIDER_LIMITS: 'copernicus=2,usgs=4' }).worker.providerLimits,
    ).toEqual({ copernicus: 2, usgs: 4 });
  });

  it('reads the digests to keep, and names the one that there is not', () => {
    expect(readConfig({}).worker.keepDigests).toEqual([]);
    expect(readConfig({ NIMBUS_KEEP_DIGESTS: 'MD5, blake3,md5' }).worker.keepDigests).toEqual([
      'md5',
      'blake3',
    ]);
    expect(() => readConfig({ NIMBUS_KEEP_DIGESTS: 'md5,crc32' })).toThrow(
      'NIMBUS_KEEP_DIGESTS: Not a digest: "crc32"',
    );
  });

  it('D23 takes limits and weekly tables, for all and for each provider', () => {
    expect(
      readConfig({
        NIMBUS_BANDWIDTH: '08:00,2M 18:00,off',
        NIMBUS_PROVIDER_BANDWIDTH:
          'copernicus=TZ=Europe/Berlin Mon-08:00,512k Fri-18:00,10M,usgs=5M',
        NIMBUS_TIME_ZONE: 'Asia/Tokyo',
      }).bandwidth,
    ).toEqual({
      limits: {
        all: '08:00,2M 18:00,off',
        copernicus: 'TZ=Europe/Berlin Mon-08:00,512k Fri-18:00,10M',
        usgs: '5M',
      },
      timeZone: 'Asia/Tokyo',
    });
    expect(readConfig({}).bandwidth.limits).toEqual({});
    expect(readConfig({}).bandwidth.timeZone).not.toBe('');
  });

  it('D23 says which bandwidth is wrong, and how', () => {
    expect(() =>
      readConfig({
        NIMBUS_BANDWIDTH: '10',
        NIMBUS_PROVIDER_BANDWIDTH: 'copernicus=5M,usgs=fast',
        NIMBUS_TIME_ZONE: 'Mars/Olympus',
      }),
    ).toThrow(
      /NIMBUS_BANDWIDTH: "10" has no unit[^]*PROVIDER_BANDWIDTH: usgs: "fast"[^]*TIME_ZONE: "Mars/,
    );
    for (const text of ['5M', 'all=5M', 'copernicus 5M'])
      expect(() => readConfig({ NIMBUS_PROVIDER_BANDWIDTH: text })).toThrow(/Not provider=limit/);
  });

  it('F066 takes a margin of the disk in MiB', () => {
    expect(readConfig({}).diskMarginBytes).toBeNull();
    expect(readConfig({ NIMBUS_DISK_MARGIN_MB: '0' }).diskMarginBytes).toBe(0);
    expect(readConfig({ NIMBUS_DISK_MARGIN_MB: '0.5' }).diskMarginBytes).toBe(524_288);
    expect(() => readConfig({ NIMBUS_DISK_MARGIN_MB: '-1' })).toThrow(/a number of MiB/);
  });

  it('reads a bucket as the destination', () => {
    expect(readConfig({}).destination).toBeNull();
    expect(readConfig({ NIMBUS_DESTINATION: 's3://my-bucket' }).destination).toEqual({
      ...{ bucket: 'my-bucket', prefix: '' },
      ...{ endpoint: null, region: null, forcePathStyle: false },
    });
    const env = {
      NIMBUS_DESTINATION: 's3://my-bucket/a/b-1/',
      NIMBUS_S3_ENDPOINT: 'http://127.0.0.1:7070/',
    };
    expect(readConfig(env).destination).toEqual({
      ...{ bucket: 'my-bucket', prefix: 'a/b-1' },
      ...{ endpoint: 'http://127.0.0.1:7070', region: null, forcePathStyle: true },
    });
    const virtual = { ...env, NIMBUS_S3_FORCE_PATH_STYLE: 'no', NIMBUS_S3_REGION: 'eu-central-1' };
    expect(readConfig(virtual).destination).toMatchObject({
      ...{ region: 'eu-central-1', forcePathStyle: false },
    });
  });

  it.each([
    { NIMBUS_DESTINATION: 's3://AKIA:canary-secret@bucket' },
    { NIMBUS_DESTINATION: 'https://bucket.example.org/?canary-secret' },
    { NIMBUS_DESTINATION: 's3://bucket/../canary-secret' },
    { NIMBUS_DESTINATION: 's3://b' },
    { NIMBUS_S3_ENDPOINT: 'https://AKIA:canary-secret@s3.example.org' },
    { NIMBUS_S3_ENDPOINT: 'https://s3.example.org/path' },
    { NIMBUS_S3_ENDPOINT: 's3.example.org' },
    { NIMBUS_S3_REGION: 'eu central' },
    { NIMBUS_S3_FORCE_PATH_STYLE: 'maybe' },
  ])('names the variable of a destination that cannot be used, not its value: %j', (given) => {
    const read = () => readConfig({ NIMBUS_DESTINATION: 's3://bucket', ...given });
    expect(read).toThrow(Object.keys(given)[0]);
    expect(read).not.toThrow(/canary/);
  });

  it('reports settings of a bucket without one', () => {
    const { unused } = readConfig({ NIMBUS_S3_REGION: 'eu-central-1' });
    expect(unused).toEqual(['NIMBUS_S3_REGION is not used without NIMBUS_DESTINATION']);
  });

  it('treats an empty value as not set', () => {
    expect(readConfig({ NIMBUS_API_KEY: '' }).api.key).toBeNull();
  });

  it('reports variables that it accepts and does not use, and mistyped ones', () => {
    const { unused } = readConfig({ NIMBUS_QUEUE_POLL_SECONDS: '1', NIMBUS_API_PROT: '1' });
    expect(unused.join('\n')).toMatch(/NIMBUS_QUEUE_POLL_SECONDS[\s\S]*NIMBUS_API_PROT/);
  });

  it('cannot be changed once read', () => {
    expect(() => Object.assign(readConfig({}).api, { port: 1 })).toThrow(TypeError);
  });

  it.each(['.env.example', 'docs/configuration.md'])(
    'is documented variable by variable in %s',
    (file) => {
      const text = readFileSync(file, 'utf8');
      expect(Object.keys(variables).filter((name) => !text.includes(name))).toEqual([]);
    },
  );
});
