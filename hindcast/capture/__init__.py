"""The capture endpoint of LLM analytics: `POST /i/v0/ai`. The only place that imports Starlette and uvicorn.

body      the request's bytes, counted and inflated as they come
parts     the multipart parts, checked as they come, large values on disk
request   what the parts mean together: an event and its values
tokens    who may capture, and as which team
keep      storing: durable before it is answered, or not at all
app       order, answers
"""
