// What an AssemblyScript program does in a container. The shim gives it process, Date and crypto on preview 1; files it
// has none of, so those calls are made here.
//
// The verbs are those of the guests in other languages: tour, filter, exit CODE, fail.
import {
  errno, fd_close, fd_read, fd_write, lookupflags, oflags, path_open, path_unlink_file, rights
} from "@assemblyscript/wasi-shim/assembly/bindings/wasi_snapshot_preview1";

function main(): void {
  const words = process.argv;
  const verb = words.length > 1 ? words[1] : "";
  if (verb == "tour") tour(words.slice(2));
  else if (verb == "filter") filter();
  else if (verb == "exit") process.exit(I32.parseInt(words[2]));
  else if (verb == "fail") throw new Error("asked to fail");
  else {
    process.stderr.write("no such verb: " + verb + "\n");
    process.exit(64);
  }
}

// Arguments, environment, a file, clocks and random numbers; each line says what was seen.
function tour(words: string[]): void {
  console.log("args: " + words.join("|"));
  console.log("env: " + process.env.get("GREETING"));

  writeFile("tmp/note", "zweite Zeile: ü");
  console.log("file: " + readFile("tmp/note"));
  unlink("tmp/note");
  console.log("gone: " + (open("tmp/note", 0, rights.FD_READ) < 0).toString());

  const began = process.hrtime();
  while (process.hrtime() - began < 20_000_000) {}
  console.log("slept: true");
  console.log("after 2024: " + (Date.now() > 1_735_689_600_000).toString());
  const draw = new Uint8Array(8);
  crypto.getRandomValues(draw);
  let hex = "";
  for (let i = 0; i < draw.length; i++) hex += draw[i].toString(16).padStart(2, "0");
  console.log("random: " + hex);
}

// Lines of standard input in capitals, and their number at the end.
function filter(): void {
  const buffer = new ArrayBuffer(4096);
  let text = "";
  for (let n = process.stdin.read(buffer); n > 0; n = process.stdin.read(buffer)) {
    text += String.UTF8.decode(buffer.slice(0, n));
  }
  process.stdout.write(text.toUpperCase());
  process.stderr.write((text.split("\n").length - 1).toString() + " lines\n");
}

// The folder that the container's root is given as.
const ROOT: u32 = 3;

// A file's descriptor, or the negative errno.
function open(path: string, how: oflags, may: rights): i32 {
  const name = String.UTF8.encode(path);
  const result = changetype<usize>(new ArrayBuffer(4));
  const error = path_open(ROOT, lookupflags.SYMLINK_FOLLOW, changetype<usize>(name), name.byteLength, how, may, 0, 0, result);
  return error == errno.SUCCESS ? load<i32>(result) : -(error as i32);
}

function must(error: errno, what: string): void {
  if (error != errno.SUCCESS) throw new Error(what + ": errno " + error.toString());
}

// An iovec of one part, and the number of bytes after it.
function vector(data: ArrayBuffer): ArrayBuffer {
  const part = new ArrayBuffer(12);
  store<u32>(changetype<usize>(part), changetype<usize>(data) as u32);
  store<u32>(changetype<usize>(part), data.byteLength, 4);
  return part;
}

function writeFile(path: string, text: string): void {
  const fd = open(path, oflags.CREAT | oflags.TRUNC, rights.FD_WRITE);
  if (fd < 0) throw new Error("open " + path + ": errno " + (-fd).toString());
  const data = String.UTF8.encode(text);
  const part = vector(data);
  must(fd_write(fd, changetype<usize>(part), 1, changetype<usize>(part) + 8), "write");
  must(fd_close(fd), "close");
}

function readFile(path: string): string {
  const fd = open(path, 0, rights.FD_READ);
  if (fd < 0) throw new Error("open " + path + ": errno " + (-fd).toString());
  const data = new ArrayBuffer(256);
  const part = vector(data);
  must(fd_read(fd, changetype<usize>(part), 1, changetype<usize>(part) + 8), "read");
  must(fd_close(fd), "close");
  return String.UTF8.decode(data.slice(0, load<u32>(changetype<usize>(part), 8)));
}

function unlink(path: string): void {
  const name = String.UTF8.encode(path);
  must(path_unlink_file(ROOT, changetype<usize>(name), name.byteLength), "unlink");
}

main();
