(()=>{"use strict";
const round=(v,d)=>Number(v.toPrecision(d)).toString();
const time=us=>us<1e3?round(us,3)+" µs":us<1e6?round(us/1e3,3)+" ms":round(us/1e6,3)+" s";
const say={number:v=>Math.abs(v)>=1e3?Math.round(v).toLocaleString("en"):round(v,3),percent:v=>round(v*100,4)+" %",microseconds:time,seconds:v=>round(v,4)+" s"};
const axis=text=>{const[scale,from,to,low,high,reading]=text.split(",");
 const a={scale,from:+from,to:+to,low:+low,high:+high};
 a.value=px=>{const p=a.low+(px-a.from)/(a.to-a.from)*(a.high-a.low);return scale==="log"?10**p:scale==="tail"?1-10**-p:p};
 a.say=px=>scale==="tail"?(100*a.value(px)).toFixed(Math.max(0,Math.ceil(a.low+(px-a.from)/(a.to-a.from)*(a.high-a.low))-1))+" %":say[reading](a.value(px));
 return a};
const points=d=>{const n=d.match(/-?[\d.]+/g).map(Number);const out=[];let x=0,y=0;
 for(let i=0;i+1<n.length;i+=2){if(i){x+=n[i];y+=n[i+1]}else{x=n[0];y=n[1]}out.push([x,y])}return out};
const tip=document.createElement("div");tip.className="tip";tip.setAttribute("role","status");document.body.append(tip);
for(const svg of document.querySelectorAll("svg.plot")){
 const paths=[...svg.querySelectorAll("[data-name]")];
 const x=axis(svg.dataset.x),y=axis(svg.dataset.y);if(x.scale==="names"||!paths.length)continue;
 let lines,rule,at=x.from;
 const ready=()=>{if(lines)return;lines=paths.map(p=>({name:p.dataset.name,points:points(p.getAttribute("d"))}));
  rule=document.createElementNS(svg.namespaceURI,"path");rule.setAttribute("class","muted line");svg.append(rule)};
 const show=px=>{ready();at=Math.min(Math.max(px,x.from),x.to);
  rule.setAttribute("d",`M${at} ${y.to}V${y.from}`);
  const rows=lines.map(l=>{let best=l.points[0];for(const p of l.points)if(Math.abs(p[0]-at)<Math.abs(best[0]-at))best=p;return l.name+" "+y.say(best[1])});
  tip.textContent=[x.say(at),...rows].join("\n");tip.style.display="block";
  const box=svg.getBoundingClientRect(),k=box.width/svg.viewBox.baseVal.width;
  const left=box.left+(at-svg.viewBox.baseVal.x)*k,w=tip.offsetWidth;
  tip.style.left=Math.min(Math.max(4,left+12+w>innerWidth-4?left-w-12:left+12),document.documentElement.clientWidth-w-4)+scrollX+"px";
  tip.style.top=box.top+scrollY+24+"px"};
 const hide=()=>{tip.style.display="none";if(rule)rule.removeAttribute("d")};
 svg.addEventListener("pointermove",e=>{const box=svg.getBoundingClientRect();show((e.clientX-box.left)/box.width*svg.viewBox.baseVal.width)});
 svg.addEventListener("pointerleave",hide);svg.addEventListener("blur",hide);
 svg.addEventListener("keydown",e=>{const step=(x.to-x.from)/40;
  if(e.key==="ArrowRight")show(at+step);else if(e.key==="ArrowLeft")show(at-step);else if(e.key==="Escape")hide();else return;e.preventDefault()});
}
for(const figure of document.querySelectorAll("figure")){
 const b=document.createElement("button");b.type="button";b.className="zoom";b.textContent="⤢";b.setAttribute("aria-label","enlarge");b.setAttribute("aria-pressed","false");
 b.onclick=()=>{const on=figure.classList.toggle("wide");b.setAttribute("aria-pressed",on);figure.scrollIntoView({block:"nearest"})};figure.prepend(b)}
const open=()=>{let e=location.hash&&document.getElementById(decodeURIComponent(location.hash.slice(1)));
 for(let p=e;p;p=p.parentElement)if(p.tagName==="DETAILS")p.open=true;if(e)e.scrollIntoView()};
addEventListener("hashchange",open);open();
addEventListener("beforeprint",()=>{for(const d of document.querySelectorAll("details.claim,details.load"))d.open=true});
})();
