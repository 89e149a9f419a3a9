// Small things that requests outside the provider itself need.

export async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export async function form(request) {
  return Object.fromEntries(new URLSearchParams(await body(request)));
}

export function send(response, status, content, type = 'application/json') {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(text);
}
