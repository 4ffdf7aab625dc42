// How a peer's process answers: one JSON line on stdout for each JSON line on stdin. Anything that fails is answered with
// {"error": message}.
import { createInterface } from 'node:readline';

/** Answers until stdin ends. `commands` are functions of a request by the name in its field `command`. */
export async function answerLines(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      answer = await commands[request.command](request);
    } catch (error) {
      answer = { error: error.message.split('\n')[0] };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
