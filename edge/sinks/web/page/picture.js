// The live picture: /stream.mjpg read part by part and drawn on a canvas.
//
// An <img> would do, but does not say when its stream has ended or which frame it shows. While a picture is being
// decoded nothing is read, so a slow reader is sent fewer pictures and never older ones.

const RETRY_MS = 1000;
const HEAD_END = [13, 10, 13, 10];

export class LivePicture {
  constructor(canvas, onFrame) {
    this.canvas = canvas;
    this.onFrame = onFrame;
    this.heat = false;
    this.reading = null;
  }

  start() {
    if (this.reading) return;
    this.reading = new AbortController();
    this.keepReading(this.reading);
  }

  stop() {
    this.reading?.abort();
    this.reading = null;
  }

  setHeat(heat) {
    this.heat = heat;
    if (!this.reading) return;
    this.stop();
    this.start();
  }

  async keepReading(reading) {
    while (!reading.signal.aborted) {
      try {
        await this.readOnce(reading.signal);
      } catch (error) {
        if (reading.signal.aborted) return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async readOnce(signal) {
    const answer = await fetch(this.heat ? "/stream.mjpg?heat=1" : "/stream.mjpg", { signal });
    if (!answer.ok) return;
    const reader = answer.body.getReader();
    try {
      for await (const { head, jpeg } of parts(reader)) {
        const frame = /^x-frame: (\d+)/im.exec(head);
        if (frame && !signal.aborted) await this.draw(jpeg, Number(frame[1])); // without a number it stands for none
      }
    } finally {
      await reader.cancel();
    }
  }

  async draw(jpeg, frame) {
    const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.onFrame(frame);
  }
}

async function* parts(reader) {
  let bytes = new Uint8Array(0);
  const atLeast = async (isEnough) => {
    while (!isEnough()) {
      const { value, done } = await reader.read();
      if (done) return false;
      const joined = new Uint8Array(bytes.length + value.length);
      joined.set(bytes);
      joined.set(value, bytes.length);
      bytes = joined;
    }
    return true;
  };
  for (;;) {
    let end = -1;
    if (!(await atLeast(() => (end = headEnd(bytes)) >= 0))) return;
    const head = new TextDecoder().decode(bytes.subarray(0, end));
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
    if (!(length > 0)) throw new Error("a part of the stream does not say how long it is");
    const start = end + HEAD_END.length;
    if (!(await atLeast(() => bytes.length >= start + length))) return;
    yield { head, jpeg: bytes.slice(start, start + length) };
    bytes = bytes.slice(start + length);
  }
}

function headEnd(bytes) {
  for (let at = bytes.indexOf(HEAD_END[0]); at >= 0; at = bytes.indexOf(HEAD_END[0], at + 1)) {
    if (HEAD_END.every((byte, place) => bytes[at + place] === byte)) return at;
  }
  return -1;
}
