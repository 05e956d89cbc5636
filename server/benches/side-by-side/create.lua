-- Creates links, all alike.
wrk.method = "POST"
wrk.path = "/api/links"
wrk.body = '{"url":"https://example.com/some/page?with=query"}'
